package main

import (
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/demo"
	"github.com/holdfast-lb/holdfast/terminal"
)

// demoDeadline is how long the demo's sockets have to say good-bye.
const demoDeadline = 500 * time.Millisecond

func newDemo() *cobra.Command {
	var listen, adminAddress string
	var servers int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Three game servers to play with, and Holdfast before them",
		Long: "Starts small game servers in this process and Holdfast before them. Needs no file, no root and\n" +
			"no network. Ctrl-C ends it.",
		Args: terminal.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd, listen, adminAddress, servers)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "where players connect, `HOST:PORT`")
	cmd.Flags().StringVar(&adminAddress, "admin", "127.0.0.1:9090", "admin `HOST:PORT`")
	cmd.Flags().IntVar(&servers, "servers", 3, "number of game servers, 1 to 64")
	return cmd
}

func runDemo(cmd *cobra.Command, listen, adminAddress string, servers int) error {
	signals := notify()
	defer signal.Stop(signals)
	log, err := newJournal(config.Log{Level: "warn", Format: "text", File: "stderr"})
	if err != nil {
		return err
	}
	fleet, err := demo.Start(servers, log.Logger)
	if err != nil {
		return err
	}
	defer fleet.Close()
	cfg, _, err := config.Parse(demoFile(fleet, listen, adminAddress), "yaml", "demo", config.Options{})
	if err != nil {
		return err
	}
	a, err := newApp(log, nil)
	if err != nil {
		return err
	}
	defer func() { a.stop(demoDeadline) }()
	if err := a.apply(cfg); err != nil {
		return fmt.Errorf("%w\n(--listen and --admin choose other addresses)", err)
	}
	a.notReady.Store(nil)
	greet(cmd.OutOrStdout(), a, fleet, servers)
	for {
		select {
		case err := <-a.failed:
			return err
		case order := <-a.orders:
			order()
		case s := <-signals:
			if isEnd(s) {
				fmt.Fprintln(cmd.OutOrStdout(), "\nGood-bye.")
				return nil
			}
		}
	}
}

// demoFile is the demo's configuration, as one would write it.
func demoFile(fleet *demo.Fleet, listen, adminAddress string) []byte {
	b := []byte(`
admin: {address: ` + strconv.Quote(adminAddress) + `}
log: {level: warn, format: text, access: "off"}
listeners:
  - {name: web, address: ` + strconv.Quote(listen) + `}
routes:
  - {name: arena, path: /, pool: arena}
pools:
  arena:
    balance: least_conn
    sticky: {by: query, name: room, ttl: 5m}
    health: {type: http, path: /health, interval: 500ms, rise: 2, fall: 2, initial: up}
    backends:
`)
	for i, address := range fleet.Addresses() {
		b = fmt.Appendf(b, "      - {name: %s, url: \"http://%s\"}\n", fleet.Name(i), address)
	}
	return b
}

func greet(w io.Writer, a *app, fleet *demo.Fleet, servers int) {
	web := "http://" + a.listeners.Addr("web").String()
	fmt.Fprintf(w, "Holdfast is before %d game servers.\n\n  Play         %s\n", servers, web)
	if a.admin != nil {
		base := "http://" + a.admin.Addr().String()
		fmt.Fprintf(w, "  Dashboard    %s\n  Pools        %s/api/v1/pools\n  Metrics      %s/metrics\n", base, base, base)
	}
	fmt.Fprintf(w, `
What to try
  - Open the page in two tabs: players of one room see each other, on one server.
  - Change the room: another room may live on another server.
  - Watch the dashboard meanwhile, and drain a server there.
  - Stop the server from the page: its players move on, the others notice nothing;
    ten seconds later it is back and takes players again.

Ctrl-C ends it.
`)
}
