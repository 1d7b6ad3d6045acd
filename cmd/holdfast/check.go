package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/proxy"
)

func newCheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say what is wrong with a configuration, or that nothing is",
		Long: "Reads the file, and those that it names, as serve would, environment included. Prints what it\n" +
			"holds and ends with 0, or prints every mistake, one a line, and ends with 1. Nothing is bound or dialled.",
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
			warned, err := compile(cfg)
			for _, w := range warned {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", path, w)
			}
			if err != nil {
				for _, e := range parts(err) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", path, e)
				}
				return errReported
			}
			fmt.Fprintln(cmd.OutOrStdout(), "configuration OK: "+cfg.Summary())
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// compile finds what is wrong beyond the file itself: in the files that it
// names.
func compile(cfg *config.Config) (warnings []string, err error) {
	pools, err := balancer.NewRegistry().Compile(cfg.Pools)
	if err != nil {
		return nil, err
	}
	rt, err := proxy.Compile(cfg, pools)
	if err != nil {
		return nil, err
	}
	return rt.Warnings(time.Now()), nil
}

// parts takes an error apart that was joined of several.
func parts(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			return joined.Unwrap()
		}
	}
	return []error{err}
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
