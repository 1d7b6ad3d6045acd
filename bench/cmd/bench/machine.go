package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/holdfast-lb/holdfast/bench/peers"
	"github.com/holdfast-lb/holdfast/bench/report"
)

// describe says where and with what is measured. What cannot be found out is
// left empty.
func describe(programs map[string]string) report.Machine {
	m := report.Machine{Cores: runtime.NumCPU(), Versions: map[string]string{"go": runtime.Version()}}
	m.Host, _ = os.Hostname()
	m.Kernel = first("/proc/sys/kernel/osrelease", "")
	m.CPU = first("/proc/cpuinfo", "model name")
	kb, _, _ := strings.Cut(first("/proc/meminfo", "MemTotal"), " ")
	if n, err := strconv.ParseInt(kb, 10, 64); err == nil {
		m.MemoryMB = n >> 10
	}
	m.Files = descriptors()
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Versions["commit"] = strings.TrimSpace(string(out)) // of the directory that this runs in
	}
	for name, program := range programs {
		// wrk prints its version and then exits with an error.
		out, _ := exec.Command(program, peers.VersionArg(name)).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		if line == "unknown" { // a program in Go that was told no version
			if info, err := buildinfo.ReadFile(program); err == nil {
				line = info.Main.Path + " " + info.Main.Version
			}
		}
		m.Versions[name] = strings.TrimSpace(line)
	}
	return m
}

// descriptors is how many a process started from here may have; 0: unknown.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// first returns the first line of a file or, with a key, what follows
// "key :" in its first line that begins so.
func first(path, key string) string {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if key == "" {
			return strings.TrimSpace(line)
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
