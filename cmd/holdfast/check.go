package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/config"
)

func newCheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say what is wrong with a configuration, or that nothing is",
		Long: "Reads the file as serve would, environment included. Prints what it holds and ends with 0,\n" +
			"or prints every mistake, one a line, and ends with 1. Nothing is bound or dialled.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(path, config.Options{Environ: os.Environ()})
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w.String())
			}
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errReported
			}
			fmt.Fprintln(cmd.OutOrStdout(), "configuration OK: "+cfg.Summary())
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// configFlag adds the flag that names the file, without which nothing goes
// unless HOLDFAST_CONFIG names it.
func configFlag(cmd *cobra.Command, path *string) {
	preset := os.Getenv("HOLDFAST_CONFIG")
	cmd.Flags().StringVarP(path, "config", "c", preset, "configuration `FILE` (.yaml, .toml or .json), or HOLDFAST_CONFIG")
	if preset == "" {
		_ = cmd.MarkFlagRequired("config")
	}
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "toml", "json")
}
