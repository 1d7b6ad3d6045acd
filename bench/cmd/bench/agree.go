package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/report"
)

// errApart makes the command fail when --check was given.
var errApart = errors.New("check agreement: at least one ratio differs by more than the tolerance")

// agreeCommand says whether two runs found the same.
func agreeCommand() *cobra.Command {
	check := false
	c := &cobra.Command{
		Use:   "compare DIR DIR",
		Short: "say which ratios of two runs agree within 10 %, from the raw.json of each",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			a, err := read(dirs[0])
			if err != nil {
				return err
			}
			b, err := read(dirs[1])
			if err != nil {
				return err
			}
			if err := report.WriteAgreement(cmd.OutOrStdout(), a, b); err != nil {
				return err
			}
			for _, x := range report.Agree(a, b) {
				if check && x.Difference() > report.Tolerance {
					return errApart
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with an error when a ratio does not agree")
	return quiet(c)
}

// read reads the raw.json of a run's directory.
func read(dir string) (*report.Report, error) {
	data, err := os.ReadFile(filepath.Join(dir, "raw.json"))
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read run %s: %w", dir, err)
	}
	return &r, nil
}

// summaryCommand writes runs as one table.
func summaryCommand() *cobra.Command {
	return quiet(&cobra.Command{
		Use:   "summary DIR...",
		Short: "write a line for each scenario: medians over the rounds of all runs, and ratios in each, from the raw.json of each",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			var runs []*report.Report
			for _, dir := range dirs {
				r, err := read(dir)
				if err != nil {
					return err
				}
				runs = append(runs, r)
			}
			return report.WriteSummary(cmd.OutOrStdout(), report.Subject, runs...)
		},
	})
}
