package main

import (
	"errors"

	"github.com/holdfast-lb/holdfast/accesslog"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/proxy"
)

// target is one place that access logs go to, in one format.
type target struct{ file, format string }

// accessLogs are the access logs of one configuration: each place is open once,
// however many listeners and routes write there.
type accessLogs struct {
	open  map[target]*accesslog.Logger
	proxy proxy.AccessLogs
}

// prepareAccess opens what cfg asks for and is not open yet. It leaves nothing
// open that was not when it fails.
func (a *app) prepareAccess(cfg *config.Config) (*accessLogs, error) {
	was := a.access.Load()
	next := &accessLogs{open: make(map[target]*accesslog.Logger), proxy: proxy.AccessLogs{
		Listeners: make(map[string]*accesslog.Logger), Routes: make(map[string]*accesslog.Logger),
	}}
	var err error
	get := func(file, format string) (l *accesslog.Logger) {
		t := target{file, format}
		if l = next.open[t]; l != nil || file == "off" || err != nil {
			return l
		}
		if was != nil && was.open[t] != nil {
			l = was.open[t]
		} else if l, err = accesslog.Open(file, format); err != nil {
			return nil
		}
		next.open[t] = l
		return l
	}
	next.proxy.Default = get(cfg.Log.Access, cfg.Log.AccessFormat)
	for _, l := range cfg.Listeners {
		if own := l.AccessLog; own != nil {
			next.proxy.Listeners[l.Name] = get(own.File, own.Format)
		}
	}
	for _, r := range cfg.Routes {
		if own := r.AccessLog; own != nil {
			next.proxy.Routes[r.Name] = get(own.File, own.Format)
		}
	}
	if err != nil {
		_, _ = next.close(was)
		return nil, err
	}
	return next, nil
}

// swapAccess sends records to next from now on, nil for nowhere, and closes what
// next has not.
func (a *app) swapAccess(next *accessLogs) {
	if next == nil {
		a.proxy.SetAccessLogs(nil)
	} else {
		a.proxy.SetAccessLogs(&next.proxy)
	}
	was := a.access.Swap(next)
	dropped, err := was.close(next)
	if err != nil {
		a.log.Warn("access log", "error", err)
	}
	a.dropped.Add(dropped)
}

// close closes what keep has not, and returns how many lines that has dropped.
func (s *accessLogs) close(keep *accessLogs) (dropped uint64, err error) {
	if s == nil {
		return 0, nil
	}
	for t, l := range s.open {
		if keep == nil || keep.open[t] != l {
			err = errors.Join(err, l.Close())
			dropped += l.Dropped()
		}
	}
	return dropped, err
}

// reopen opens all files again under their paths.
func (s *accessLogs) reopen() (err error) {
	if s == nil {
		return nil
	}
	for _, l := range s.open {
		err = errors.Join(err, l.Reopen())
	}
	return err
}

// droppedLines is how many lines of access logs were lost so far.
func (a *app) droppedLines() uint64 {
	n := a.dropped.Load()
	if s := a.access.Load(); s != nil {
		for _, l := range s.open {
			n += l.Dropped()
		}
	}
	return n
}
