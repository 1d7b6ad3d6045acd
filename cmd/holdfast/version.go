package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/terminal"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print module, revision and Go version",
		Args:  terminal.NoArguments,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), version())
		},
	}
}

// version is one line about what this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "holdfast (built without module information)"
	}
	revision, state := "unknown", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				state = " (modified)"
			}
		}
	}
	return fmt.Sprintf("%s %s, revision %s%s, %s", info.Main.Path, info.Main.Version, revision, state, info.GoVersion)
}
