package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Say what a code such as HF-2003 means, and what helps; without one, list all",
		Long: "Every failure has a code, which answers, access log and log tell. Prints its cause, where to look\n" +
			"and what helps. A code may be written HF-2003, 2003 or connect_failed.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%d arguments in place of one, write %s", len(args), cmd.UseLine())
			}
			return nil
		},
		ValidArgsFunction: completeCode,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprint(cmd.OutOrStdout(), explain.List())
				return nil
			}
			page, found := explain.Find(args[0])
			switch {
			case page == nil:
				return fmt.Errorf("there is no code %q, holdfast explain lists those that there are", args[0])
			case !found:
				return fmt.Errorf("there is no code %q, the nearest is %s (%s): %s", args[0], page.Code, page.Name, page.Title)
			}
			fmt.Fprint(cmd.OutOrStdout(), page.Text())
			return nil
		},
	}
}

// completeCode offers the codes for shell completion.
func completeCode(_ *cobra.Command, args []string, _ string) (codes []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		for _, page := range explain.Pages() {
			codes = append(codes, cobra.CompletionWithDesc(page.Code.String(), page.Title))
		}
	}
	return codes, cobra.ShellCompDirectiveNoFileComp
}

// codeOf returns the code of what keeps a configuration from running; 0: what
// is wrong is no configuration's affair.
func codeOf(err error) explain.Code {
	if list, ok := errors.AsType[config.Errors](err); ok && len(list) > 0 {
		return explain.Named("configuration_wrong")
	}
	for _, e := range []error{syscall.EADDRINUSE, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return explain.Named("address_taken")
		}
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return explain.Named("file_unreadable")
	}
	return 0
}

// withCode is the error's text behind its code, if it has one.
func withCode(err error) string {
	if c := codeOf(err); c != 0 {
		return c.String() + " " + err.Error()
	}
	return err.Error()
}
