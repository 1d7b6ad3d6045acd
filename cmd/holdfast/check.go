package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/certs"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/health"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/proxy"
	"github.com/holdfast-lb/holdfast/terminal"
	"github.com/holdfast-lb/holdfast/webhook"
)

func newCheck() *cobra.Command {
	var path string
	var dial bool
	var strict bool
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say what is wrong with a configuration, or that nothing is",
		Long: "Reads the file, and those that it names, as serve would, environment included, and looks up the\n" +
			"backends' names. Prints what it holds and ends with 0, or prints every mistake, one a line, and\n" +
			"ends with 1. Warnings, a name that does not resolve among them, change nothing in that\n" +
			"without --strict. Nothing is bound.\n\n" +
			"With --connect the sources of discovery are asked, and every backend once, as its health check would,\n" +
			"or by a connection if it has none. The status is 1 if a pool has no backend that is up.",
		Args: terminal.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := config.Load(path, config.Options{Environ: os.Environ()})
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w.String())
			}
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return refuse(cmd, err)
			}
			ctx := cmd.Context()
			if ctx == nil {
				ctx = context.Background()
			}
			var lost []string
			if dial {
				cfg, lost = discovered(cmd.OutOrStdout(), cfg)
			}
			targets, warned, err := compile(cfg)
			warned = append(warned, unresolved(ctx, cfg, targets)...)
			for _, w := range warned {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", path, w)
			}
			if err != nil {
				for _, e := range parts(err) {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", path, e)
				}
				return refuse(cmd, err)
			}
			if n := len(warnings) + len(warned); strict && n > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "warnings: %d, which --strict does not pass\n", n)
				return errReported
			}
			fmt.Fprintln(cmd.OutOrStdout(), "configuration OK: "+cfg.Summary())
			if !dial {
				return nil
			}
			if dead := append(lost, connect(ctx, cmd.OutOrStdout(), targets)...); len(dead) > 0 {
				return noBackends(dead)
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&dial, "connect", false, "ask every backend whether it can serve")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 for a warning too, such as one of an expired certificate")
	return cmd
}

// refuse prints the verdict on a file whose mistakes were printed.
func refuse(cmd *cobra.Command, err error) error {
	code := cmp.Or(codeOf(err), explain.Named("configuration_wrong"))
	fmt.Fprintf(cmd.OutOrStdout(), "configuration refused (%s)\n", code)
	return errReported
}

// compile finds what is wrong beyond the file itself: in the files that it
// names. The targets are all backends, in order.
func compile(cfg *config.Config) (targets []health.Target, warnings []string, err error) {
	pools, err := balancer.NewRegistry().Compile(cfg.Pools)
	if err != nil {
		return nil, nil, err
	}
	rt, err := proxy.Compile(cfg, pools)
	change, certsErr := certs.New(certs.Options{}).Prepare(cfg.Listeners)
	_, hooksErr := (*webhook.Sender)(nil).Prepare(cfg.Webhooks)
	if err := errors.Join(certsErr, err, hooksErr); err != nil {
		return nil, nil, err
	}
	for _, pool := range pools.All() {
		for _, b := range pool.Backends() {
			targets = append(targets, targetOf(b, cfg, rt))
		}
	}
	now := time.Now()
	return targets, slices.Concat(change.Warnings(now), rt.Warnings(now)), nil
}

// parts takes an error apart that was joined of several, which may have been
// joined themselves.
func parts(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			var list []error
			for _, part := range joined.Unwrap() {
				list = append(list, parts(part)...)
			}
			return list
		}
	}
	return []error{err}
}

// configFlag adds the flag that names the file, without which nothing goes
// unless HOLDFAST_CONFIG names it.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", os.Getenv("HOLDFAST_CONFIG"), "configuration `FILE` (.yaml, .toml or .json), or HOLDFAST_CONFIG")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *path == "" {
			return fmt.Errorf("--config is missing, write holdfast %s, or set HOLDFAST_CONFIG; holdfast demo needs no file", cmd.Use)
		}
		return nil
	}
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "toml", "json")
}
