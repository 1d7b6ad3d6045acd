package certs

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// chatter is what certmagic says at info level and nobody wants to know.
var chatter = map[string]bool{
	"acquiring lock": true, "lock acquired": true, "releasing lock": true,
	"waiting on internal rate limiter": true, "done waiting on internal rate limiter": true,
	"using ACME account": true, "using configured ACME account": true,
	"creating new account because no account for configured email is known to us": true,
	"started background certificate maintenance":                                  true, "stopped background certificate maintenance": true,
	"reloading managed certificate": true, "replaced certificate in cache": true,
	"certificate is in configured renewal window based on expiration date": true,
	"updated and stored ACME renewal information":                          true,
	"attempting certificate renewal":                                       true,
}

// zapLogger has what certmagic logs written to log, each message behind "acme:".
func zapLogger(log *slog.Logger) *zap.Logger { return zap.New(&zapCore{log: log}) }

// zapCore implements [zapcore.Core] over slog.
type zapCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l <= zapcore.DebugLevel:
		return slog.LevelDebug
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Enabled implements [zapcore.Core].
func (c *zapCore) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), levelOf(l))
}

// With implements [zapcore.Core].
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{log: c.log, fields: slices.Concat(c.fields, fields)}
}

// Check implements [zapcore.Core].
func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements [zapcore.Core].
func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := levelOf(e.Level)
	if level == slog.LevelInfo && chatter[e.Message] {
		level = slog.LevelDebug
	}
	values := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(values)
	}
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(values.Fields)) {
		value := values.Fields[name]
		if d, ok := value.(time.Duration); ok {
			value = d.Round(time.Second).String()
		}
		attrs = append(attrs, slog.Any(name, value))
	}
	c.log.LogAttrs(context.Background(), level, "acme: "+e.Message, attrs...)
	return nil
}

// Sync implements [zapcore.Core].
func (*zapCore) Sync() error { return nil }
