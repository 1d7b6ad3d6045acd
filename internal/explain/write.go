package explain

import (
	"fmt"
	"strings"
)

// width is that of a page on a terminal, in bytes.
const width = 80

// Text is the page for a terminal.
func (p *Page) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", p.Code, p.Title)
	if p.Status != 0 {
		fmt.Fprintf(&b, "\nStatus %d, with %s in the answer and in the access log.\n", p.Status, p.Name)
	} else {
		fmt.Fprintf(&b, "\nIn the log only, as %s.\n", p.Name)
	}
	for _, part := range [][2]string{{"Cause", p.Cause}, {"Look at", p.Look}, {"Remedy", p.Remedy}} {
		b.WriteString("\n" + part[0] + "\n")
		wrap(&b, part[1])
	}
	return b.String()
}

// wrap writes text in lines of width at most, indented.
func wrap(b *strings.Builder, text string) {
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
			b.WriteString("  ")
			column = 2
		case column+1+len(word) > width:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}

// List is one line a page, for a terminal.
func List() string {
	var b strings.Builder
	for i := range Chapters {
		c := &Chapters[i]
		if len(c.pages) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n", c.Title)
		for j := range c.pages {
			p := &c.pages[j]
			status := "   "
			if p.Status != 0 {
				status = fmt.Sprint(p.Status)
			}
			fmt.Fprintf(&b, "  %s  %s  %-22s %s\n", p.Code, status, p.Name, p.Title)
		}
	}
	return b.String()
}

// symptoms are what the usual guides to a web server as a WebSocket front list
// under troubleshooting, and the codes that tell them apart here.
var symptoms = []struct {
	text  string
	codes []Code
}{
	{"The handshake fails with 500: module missing, route wrong, server down", []Code{1013, 1020, 2001, 2003}},
	{"`SSL_ERROR_RX_RECORD_TOO_LONG`: a port without TLS, a certificate that is not loaded", []Code{5001, 5002}},
	{"403: rules of access, or of the system's", []Code{3001, 3002, 3011}},
	{"504: server overloaded, timeout too short", []Code{2004, 2007}},
	{"Sockets drop: timeouts too short", []Code{7001, 7003, 7004}},
	{"Connection failed: route, server's port, firewall", []Code{1013, 2003, 2004}},
}

// Markdown is docs/troubleshooting.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("| What is seen | Codes |\n|---|---|\n")
	for _, s := range symptoms {
		var links []string
		for _, c := range s.codes {
			links = append(links, fmt.Sprintf("[%s](#%s)", c, strings.ToLower(c.String())))
		}
		fmt.Fprintf(&b, "| %s | %s |\n", s.text, strings.Join(links, ", "))
	}
	for i := range Chapters {
		c := &Chapters[i]
		if len(c.pages) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n", c.Title)
		for j := range c.pages {
			p := &c.pages[j]
			status := ""
			if p.Status != 0 {
				status = fmt.Sprintf(", status %d", p.Status)
			}
			fmt.Fprintf(&b, "\n### %s\n\n**%s** (`%s`%s)\n\n", p.Code, p.Title, p.Name, status)
			fmt.Fprintf(&b, "- Cause: %s\n- Look at: %s\n- Remedy: %s\n", p.Cause, p.Look, p.Remedy)
		}
	}
	return b.String()
}

const head = `# Troubleshooting

<!-- Written by go test ./internal/explain -update from the table in that package. -->

Whatever goes wrong has a code. It begins the one line that the client reads,

` + "```" + `
HF-2003 backend refused the connection (connect_failed, request 01JDN3V7Q2)
` + "```" + `

is ` + "`code`" + ` in the line of the access log, and stands in the log with cause and remedy: the first time at once, and while
it goes on as one line a minute that says how often (` + "`repeated`" + `). ` + "`holdfast explain HF-2003`" + ` prints what is below,
` + "`holdfast explain`" + ` lists all codes. The request id finds a client's failure in both logs.

A code keeps its meaning for good.

`
