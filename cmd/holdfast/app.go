package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/certs"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/discovery"
	"github.com/holdfast-lb/holdfast/drain"
	"github.com/holdfast-lb/holdfast/health"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/handoff"
	"github.com/holdfast-lb/holdfast/internal/memory"
	"github.com/holdfast-lb/holdfast/listener"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/proxy"
	"github.com/holdfast-lb/holdfast/relay"
	"github.com/holdfast-lb/holdfast/tracing"
	"github.com/holdfast-lb/holdfast/webhook"
)

// app is one running Holdfast: the parts that live as long as the process, and
// the configuration that they run by. Its methods, but for those that say
// otherwise, are called by one goroutine, the command's.
type app struct {
	log     *journal
	reports *explain.Reporter
	metrics *metrics.Metrics
	memory  *memory.Watch

	registry  *balancer.Registry
	relay     *relay.Relay
	proxy     *proxy.Proxy
	certs     *certs.Store
	listeners *listener.Set
	prober    *health.Prober
	probes    probeBook
	drainer   *drain.Drainer
	tracer    *tracing.Tracer // nil: none
	discovery *discovery.Set

	cfg     *config.Config             // nil before the first
	full    *config.Config             // cfg with the backends that discovery has found, as they run
	pools   *balancer.Pools            // of full
	runtime *proxy.Runtime             // of cfg
	access  atomic.Pointer[accessLogs] // nil before the first
	dropped atomic.Uint64              // lines that earlier access logs have dropped
	admin   *adminServer               // nil: none

	source  *source // of the configuration; nil: it comes from no file
	program string  // that an upgrade starts

	inheritance *inheritance // from the process before this one; nil: none
	succession  *succession  // the upgrade under way; nil: none
	leaving     bool         // the successor serves: see leave

	running  atomic.Pointer[config.Config]       // cfg, for the admin's goroutines
	loaded   atomic.Pointer[admin.Configuration] // how the last reload went
	notReady atomic.Pointer[error]               // nil: ready; the command says when
	failed   chan error                          // a part that could not go on

	began     time.Time
	run       string // tells this process's ids from another's
	socketRun string // the same of sockets, whose ids an upgrade keeps
	events    *admin.Events
	webhooks  *webhook.Sender
	history   *admin.History
	changes   chan balancer.Change // that operators have not been told of
	scarcity  chan scarcity        // the same
	asked     chan struct{}        // room for one: a backend asks to be drained, or no longer does
	found     chan struct{}        // room for one: discovery has found another list
	orders    chan func()          // what other goroutines have the command's goroutine do
	planning  sync.Mutex           // held by the one plan that is being made
	ending    chan struct{}        // closed when it takes no more of them
	retiring  sync.WaitGroup       // of what ends by itself once the process is ending
}

// reportPeriod is how often the log says that a failure goes on.
const reportPeriod = time.Minute

var errStarting = errors.New("no configuration runs yet")

// newApp makes the parts. Nothing is bound and nothing is dialled before the
// first apply. stop ends it. in is what the process before this one leaves, nil
// for nothing.
func newApp(log *journal, in *inheritance) (*app, error) {
	registry, run := balancer.NewRegistry(), admin.NewRun()
	socketRun, keySecret, listeners, err := in.give(registry)
	if err != nil {
		return nil, err
	}
	if socketRun == "" {
		socketRun = run
	}
	r, err := relay.New(relay.Options{Loops: runtime.GOMAXPROCS(0)})
	if err != nil {
		return nil, fmt.Errorf("start relay: %w", err)
	}
	a := &app{
		log:         log,
		reports:     explain.NewReporter(log.Logger, reportPeriod),
		metrics:     metrics.New(),
		registry:    registry,
		relay:       r,
		failed:      make(chan error, 1),
		began:       time.Now(),
		inheritance: in,
		run:         run,
		socketRun:   socketRun,
		history:     admin.NewHistory(samplesKept),
		asked:       make(chan struct{}, 1),
		found:       make(chan struct{}, 1),
		orders:      make(chan func()),
		ending:      make(chan struct{}),
		changes:     make(chan balancer.Change, changesKept),
		scarcity:    make(chan scarcity, changesKept),
	}
	a.events = admin.NewEvents(a.run, eventsKept)
	a.webhooks = webhook.New(webhook.Options{Log: log.Logger, UserAgent: "Holdfast/" + version(), Count: a.countWebhook})
	a.events.OnPublish(a.sendEvent)
	a.notReady.Store(&errStarting)
	a.memory = memory.Start(a.memoryChanged)
	a.certs = certs.New(certs.Options{Log: log.Logger, Loaded: a.metrics.CertificateLoaded})
	a.proxy = proxy.New(proxy.Options{
		Challenge: a.certs.Challenge, Metrics: a.metrics, Relay: r, Short: a.memory.Short, Log: log.Logger, Reports: a.reports,
		Adopt: registry.Adopt, Place: func(name string, key uint64) proxy.Place { return a.listeners.Place(name, key) }, KeySecret: keySecret,
	})
	a.listeners = listener.New(listener.Options{
		Handler:    a.proxy.Handler,
		TLS:        a.certs.Config,
		Meter:      func(name string) listener.Meter { return meter{a.metrics.Listener(name)} },
		BadRequest: a.proxy.BadRequest,
		Short:      a.memory.Short,
		Help:       r.Help,
		Log:        log.Logger,
		Reports:    a.reports,
		Inherited:  listeners,
	})
	a.prober = health.NewProber(log.Logger)
	a.retiring.Go(a.sample)
	a.retiring.Go(a.tellChanges)
	a.retiring.Go(func() { a.follow(a.asked, a.drainByReports) })
	a.drainer = a.newDrainer()
	a.discovery = a.newDiscovery()
	a.retiring.Go(func() { a.follow(a.found, a.takeFound) })
	a.registry.OnChange(a.backendChanged)
	a.metrics.SetRelay(a.relaySample)
	a.metrics.SetBackends(a.backendSamples)
	a.metrics.SetDiscovery(a.discoverySamples)
	a.metrics.SetMemory(a.memorySample)
	a.metrics.SetPools(a.poolSamples)
	a.metrics.SetCertificates(a.certificateSamples)
	a.metrics.SetLogDropped(a.droppedLines)
	return a, nil
}

// apply makes cfg the configuration that runs. It prepares everything that can
// fail and leaves no trace if something does; after that nothing can.
func (a *app) apply(cfg *config.Config) (err error) {
	var undo []func()
	defer func() {
		if err != nil {
			for _, f := range undo {
				f()
			}
		}
	}()
	found := a.discovery.Prepare(cfg.Pools)
	undo = append(undo, found.Drop)
	full := cfg.WithBackends(found.Backends())
	if a.cfg == nil {
		if err := a.inheritance.misses(full); err != nil {
			return err
		}
	}
	pools, err := a.registry.Compile(full.Pools)
	if err != nil {
		return err
	}
	runtime, err := proxy.Compile(full, pools)
	certificates, certsErr := a.certs.Prepare(cfg.Listeners)
	webhooks, hooksErr := a.webhooks.Prepare(cfg.Webhooks)
	if err := errors.Join(certsErr, err, hooksErr); err != nil { // all that is wrong with the files it names
		return err
	}
	tracer, err := a.prepareTracer(cfg.Tracing)
	if err != nil {
		return err
	}
	if tracer != a.tracer {
		undo = append(undo, func() { closeTracer(tracer, 0) })
	}
	change, err := a.listeners.Prepare(cfg.Listeners)
	if err != nil {
		return err
	}
	undo = append(undo, change.Abort)
	newAdmin, err := a.prepareAdmin(cfg.Admin)
	if err != nil {
		return err
	}
	if newAdmin != a.admin && newAdmin != nil {
		undo = append(undo, func() { newAdmin.close(0, nil) }) // nobody has spoken to it
	}
	commitLog, abortLog, err := a.log.prepare(cfg.Log)
	if err != nil {
		return err
	}
	undo = append(undo, abortLog)
	access, err := a.prepareAccess(cfg)
	if err != nil {
		return err
	}

	// Nothing fails from here on.
	commitLog()
	for _, w := range runtime.Warnings(time.Now()) {
		a.log.Warn("configuration", "warning", w)
	}
	a.registry.Commit(pools)
	a.proxy.Swap(runtime)
	certificates.Commit()
	change.Commit()
	a.swapTracer(tracer)
	webhooks.Commit()
	was, before := a.cfg, a.pools
	a.cfg, a.full, a.pools, a.runtime = cfg, full, pools, runtime
	a.running.Store(cfg)
	// What may take a moment comes when all is in force.
	found.Commit()
	a.prober.Reconcile(a.targets())
	a.carryDrains(was, before, pools)
	a.swapAccess(access)
	a.swapAdmin(newAdmin, cfg.Admin.Token)
	return nil
}

// adminServer is an admin server with its goroutine.
type adminServer struct {
	*admin.Server
	address  string // as configured
	listener net.Listener
	done     chan struct{}
}

// handover returns a second descriptor for the listening socket, which the
// caller owns.
func (s *adminServer) handover() (int, error) {
	fd, err := handoff.Duplicate(s.listener.(*net.TCPListener))
	if err != nil {
		return -1, fmt.Errorf("hand over the socket of admin.address: %w", err)
	}
	return fd, nil
}

// prepareAdmin returns the admin server that cfg asks for, bound but not
// serving yet, or the running one if its address is the same.
func (a *app) prepareAdmin(cfg config.Admin) (*adminServer, error) {
	switch {
	case cfg.Address == "":
		return nil, nil
	case a.admin != nil && a.admin.address == cfg.Address:
		return a.admin, nil
	}
	ln, err := a.inheritance.listenAdmin(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on admin.address %s: %w; free the port or choose another", cfg.Address, err)
	}
	host, _, _ := net.SplitHostPort(cfg.Address)
	return &adminServer{address: cfg.Address, listener: ln, done: make(chan struct{}), Server: admin.New(admin.Options{
		Listener: ln, Host: host, Log: a.log.Logger, Version: version(),
		Ready:   a.ready,
		Pools:   a.poolStatus,
		Status:  a.processStatus,
		Config:  func() any { return a.running.Load().View() },
		Ledger:  a.ledger(),
		Run:     a.socketRun,
		Events:  a.events,
		History: a.history,
		Control: a.control(),
		Metrics: a.metrics.Handler(),
		Token:   string(cfg.Token),
	})}, nil
}

// swapAdmin starts next, ends the server before it, and has callers show token.
func (a *app) swapAdmin(next *adminServer, token config.Secret) {
	was := a.admin
	if next != nil {
		next.SetToken(string(token))
	}
	if was == next {
		return
	}
	a.admin = next
	if next != nil {
		go next.serve(a.failed)
	}
	if was != nil {
		// Not here: the reload may be what one of its requests waits for.
		a.retiring.Go(func() {
			was.close(lastSecond, a.ending)
			<-was.done
		})
	}
}

func (s *adminServer) serve(failed chan<- error) {
	defer close(s.done)
	if err := s.Serve(); err != nil {
		select {
		case failed <- err:
		default:
		}
	}
}

// close ends the server. For so long, or until sooner is closed, requests under
// way may be answered.
func (s *adminServer) close(within time.Duration, sooner <-chan struct{}) {
	ctx, cancel := timeout(within)
	defer cancel()
	go func() {
		select {
		case <-sooner:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = s.Close(ctx)
}

// ready is what /readyz asks.
func (a *app) ready() error {
	if err := a.notReady.Load(); err != nil {
		return *err
	}
	return nil
}
