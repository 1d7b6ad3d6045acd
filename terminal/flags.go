package terminal

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// FlagError says in plain words what is wrong with a flag, and what to write.
// It is what [cobra.Command.SetFlagErrorFunc] wants.
func FlagError(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s %q %s", bad.GetFlag().Name, bad.GetValue(), whatIsWrong(bad))
	}
	if bare, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		f := bare.GetFlag()
		name, _ := pflag.UnquoteUsage(f)
		return fmt.Errorf("--%s has no value, write --%s %s", f.Name, f.Name, name)
	}
	if none, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := none.GetSpecifiedName()
		if none.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("there is no flag -%s, %s --help lists those that there are", name, cmd.CommandPath())
		}
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near, ok := spelling.Nearest(name, known); ok {
			return fmt.Errorf("there is no flag --%s, did you mean --%s?", name, near)
		}
		return fmt.Errorf("there is no flag --%s, %s --help lists those that there are", name, cmd.CommandPath())
	}
	return err
}

// whatIsWrong goes on where a flag's name and value end.
func whatIsWrong(bad *pflag.InvalidValueError) string {
	if errors.Is(bad, strconv.ErrRange) {
		return "is out of range, write a smaller number"
	}
	switch kind := bad.GetFlag().Value.Type(); kind {
	case "duration":
		return "is no time, write one with a unit, such as 30s or 5m"
	case "int", "int64":
		return "is no whole number, write one such as 100"
	case "bool":
		return "is neither true nor false"
	}
	return fmt.Sprintf("cannot be read: %v", errors.Unwrap(bad))
}

// notNegative refuses a flag's value below 0.
func notNegative[T int | int64 | time.Duration](name string, value T) error {
	if value < 0 {
		return fmt.Errorf("--%s %v is negative, write 0 or more", name, value)
	}
	return nil
}

// positive refuses a time that is over at once.
func positive(name string, value time.Duration) error {
	if value <= 0 {
		return fmt.Errorf("--%s %v is no time to wait, write more than 0, such as 30s or 5m", name, value)
	}
	return nil
}

// NoArguments refuses any, and shows what should be there.
func NoArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is one argument too many, write %s", args[0], cmd.UseLine())
	}
	return nil
}

// oneArgument refuses none and several, and shows what should be there.
func oneArgument(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments in place of one, write %s", len(args), cmd.UseLine())
	}
	return nil
}
