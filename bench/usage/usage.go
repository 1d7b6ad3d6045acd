// Package usage reads what a process, its descendants and the whole machine
// have spent, from /proc.
//
// A balancer may be one process (HAProxy, Holdfast) or a master with workers
// (nginx), so a process always means it and all its descendants. CPU time is
// in clock ticks of 10 ms: measure windows of seconds. Memory is RssAnon +
// RssShmem, what the process itself has written to: program text and mapped
// files, which are shared and can be dropped, do not count.
//
// Linux only; elsewhere every function returns an error that says so.
package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// tick is the unit of /proc's CPU times: USER_HZ, 100 on every Linux port
// that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what was spent up to one moment. CPU times only grow; the
// difference of two readings belongs to the time between them.
type Usage struct {
	At         time.Time     // when it was read
	CPU        time.Duration // user and system time of the process tree
	Memory     int64         // bytes, RssAnon + RssShmem of the process tree
	Machine    time.Duration // time that all cores of the machine were busy
	MachineMem int64         // bytes of memory in use on the machine: MemTotal - MemAvailable
}

// Read reads the usage of process pid, its descendants and the machine.
// With pid 0 only the machine's. The time of children that have ended and
// were waited for counts too.
func Read(pid int) (Usage, error) {
	if runtime.GOOS != "linux" {
		return Usage{}, errors.New("read usage: it comes from /proc; run on Linux")
	}
	u := Usage{At: time.Now()}
	var err error
	if u.Machine, err = machine(); err != nil {
		return Usage{}, err
	}
	if u.MachineMem, err = machineMemory(); err != nil {
		return Usage{}, err
	}
	if pid == 0 {
		return u, nil
	}
	pids, err := Tree(pid)
	if err != nil {
		return Usage{}, err
	}
	for _, p := range pids {
		cpu, mem, err := process(p)
		if err != nil && p == pid {
			return Usage{}, fmt.Errorf("read usage of process %d: %w", pid, err)
		}
		u.CPU += cpu // a worker that ended just now counts as nothing
		u.Memory += mem
	}
	return u, nil
}

// Tree returns pid and its descendants, parents first.
func Tree(pid int) ([]int, error) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, name := range names {
		id, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + name.Name() + "/stat")
		if err != nil {
			continue // ended meanwhile
		}
		if s, err := parseStat(data); err == nil {
			children[s.parent] = append(children[s.parent], id)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		kids := children[tree[i]]
		slices.Sort(kids)
		tree = append(tree, kids...)
	}
	return tree, nil
}

func process(pid int) (cpu time.Duration, mem int64, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	data, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, 0, err
	}
	s, err := parseStat(data)
	if err != nil {
		return 0, 0, err
	}
	if data, err = os.ReadFile(dir + "/status"); err != nil {
		return 0, 0, err
	}
	return s.cpu, field(data, "RssAnon:") + field(data, "RssShmem:"), nil
}

func machine() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read machine's CPU time: %w", err)
	}
	return parseMachine(data)
}

func machineMemory() (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read machine's memory: %w", err)
	}
	return field(data, "MemTotal:") - field(data, "MemAvailable:"), nil
}

// stat is what is taken from /proc/PID/stat.
type stat struct {
	parent int
	cpu    time.Duration
}

// parseStat reads /proc/PID/stat. The command's name, second, is in
// parentheses and may hold anything, so counting starts after the last ')'.
func parseStat(data []byte) (stat, error) {
	i := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[i+1:])
	if i < 0 || len(fields) < 15 {
		return stat{}, fmt.Errorf("read /proc/PID/stat: unexpected content %q", data)
	}
	var n [5]int // parent; utime, stime, and those of children waited for
	for j, at := range []int{1, 11, 12, 13, 14} {
		v, err := strconv.Atoi(string(fields[at]))
		if err != nil {
			return stat{}, fmt.Errorf("read /proc/PID/stat: field %d: %w", at+3, err)
		}
		n[j] = v
	}
	return stat{parent: n[0], cpu: time.Duration(n[1]+n[2]+n[3]+n[4]) * tick}, nil
}

// parseMachine sums the busy columns of /proc/stat's first line: user, nice,
// system, irq, softirq. Idle, waiting for disks and time stolen by the
// hypervisor are not ours; guest time is already within user.
func parseMachine(data []byte) (time.Duration, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 8 || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("read /proc/stat: unexpected first line %q", line)
	}
	var sum int64
	for _, at := range []int{1, 2, 3, 6, 7} {
		v, err := strconv.ParseInt(string(fields[at]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: column %d: %w", at, err)
		}
		sum += v
	}
	return time.Duration(sum) * tick, nil
}

// field returns the bytes that a "Name:   123 kB" line holds, 0 without one.
func field(data []byte, name string) int64 {
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kb, _ := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
			return kb << 10
		}
	}
	return 0
}
