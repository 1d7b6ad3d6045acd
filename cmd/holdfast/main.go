// Command holdfast is an HTTP load balancer that never lets go of a socket.
//
//	holdfast serve --config holdfast.yaml   run
//	holdfast check --config holdfast.yaml   say what is wrong with a file
//	holdfast demo                           three game servers to play with
//	holdfast explain HF-2003                say what a failure's code means
//	holdfast version
//	holdfast test-socket wss://HOST/PATH    try the whole way of a socket
//	holdfast status                         see a running one
//
// Package terminal has the commands that see and steer, of which there are more.
// main.go has the commands' frame, one file each has a command, app.go makes
// the parts and joins them, reload.go changes the configuration of a running
// app, and stop.go ends it.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/terminal"
)

func main() {
	if err := newRoot().Execute(); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(os.Stderr, "holdfast: "+withCode(err))
		}
		os.Exit(1)
	}
}

// errReported ends the process with status 1 when all has been said.
var errReported = errors.New("reported")

// refuseUnknown has the two commands that cobra adds refuse what they do not
// know. By themselves they print their help and end with 0.
func refuseUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			var shells []string
			for _, sub := range cmd.Commands() {
				shells = append(shells, sub.Name())
			}
			cmd.Args = nil
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return cmd.Help()
				}
				return fmt.Errorf("there is no completion for %q, write one of %s", args[0], strings.Join(shells, ", "))
			}
		case "help":
			show := cmd.Run
			cmd.Run = nil
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || len(rest) > 0 && found == root {
					return fmt.Errorf("there is no command %q, holdfast --help lists those that there are", strings.Join(args, " "))
				}
				show(cmd, args)
				return nil
			}
		}
	}
}

func newRoot() *cobra.Command {
	// Without Args, since with them an unknown command is no error but a
	// request for help.
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "An HTTP load balancer that never lets go of a socket",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(), newCheck(), newDemo(), newExplain(), newVersion())
	root.AddCommand(terminal.Commands()...)
	root.SetFlagErrorFunc(terminal.FlagError)
	refuseUnknown(root)
	return root
}
