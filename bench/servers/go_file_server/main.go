// Go's file server: net/http's FileServer, as a Go programmer would write it.
//
// Differs from three lines of Go in what a measurement needs: a limit of connections, an end on
// SIGTERM, counters, and a type for names without an extension, which net/http would else find by
// reading the file's beginning once more for each request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	name         = "go_file_server"
	usageStatus  = 2
	stopPatience = 2 * time.Second // for replies in flight
)

type options struct {
	listen    string
	maxConn   int
	processes int
	stats     bool
	root      string
}

type counters struct {
	connections, requests atomic.Int64
}

func fail(status int, format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, name+": "+format+"\n", arguments...)
	os.Exit(status)
}

// Flags may stand before and behind the directory.
func parseOptions(arguments []string) options {
	var o options
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`ADDR:PORT` to listen on; port 0 takes a free one")
	flags.IntVar(&o.maxConn, "max_conn", 15000, "most connections at a time; more wait to be accepted")
	flags.IntVar(&o.processes, "max_procs", 1, "GOMAXPROCS: kernel threads that run Go code")
	flags.BoolVar(&o.stats, "stats", false, "print counters at exit")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: %s [FLAGS] DIRECTORY\nServes the files of DIRECTORY with Go's net/http.\n\n", name)
		flags.PrintDefaults()
	}
	var directories []string
	for len(arguments) > 0 {
		switch err := flags.Parse(arguments); {
		case errors.Is(err, flag.ErrHelp):
			os.Exit(0)
		case err != nil:
			os.Exit(usageStatus) // the flag package has said why
		}
		if arguments = flags.Args(); len(arguments) > 0 {
			directories = append(directories, arguments[0])
			arguments = arguments[1:]
		}
	}
	if len(directories) != 1 {
		fail(usageStatus, "needs one directory to serve, has %d: %q", len(directories), directories)
	}
	o.root = directories[0]
	if o.maxConn < 1 {
		fail(usageStatus, "--max_conn=%d: must be 1 or more", o.maxConn)
	}
	if o.processes < 1 {
		fail(usageStatus, "--max_procs=%d: must be 1 or more", o.processes)
	}
	if stat, err := os.Stat(o.root); err != nil {
		fail(usageStatus, "%v", err)
	} else if !stat.IsDir() {
		fail(usageStatus, "%s is not a directory", o.root)
	}
	return o
}

func raiseDescriptorLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// Returns the file server with a limit of connections: net/http calls ConnState for a new connection
// before it accepts the next, so waiting there keeps others in the backlog.
func newServer(o options, counts *counters) *http.Server {
	files := http.FileServer(http.Dir(o.root))
	free := make(chan struct{}, o.maxConn)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			counts.requests.Add(1)
			if path.Ext(r.URL.Path) == "" && !strings.HasSuffix(r.URL.Path, "/") {
				w.Header().Set("Content-Type", "application/octet-stream")
			}
			files.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				free <- struct{}{}
				counts.connections.Add(1)
			case http.StateClosed:
				<-free
			}
		},
	}
}

func main() {
	o := parseOptions(os.Args[1:])
	runtime.GOMAXPROCS(o.processes)
	raiseDescriptorLimit()

	// Probes of idle connections are timers for nothing on a loopback.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp", o.listen)
	if err != nil {
		fail(1, "cannot listen on %s: %v", o.listen, err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	var counts counters
	server := newServer(o, &counts)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(os.Stderr, "%s: serving %s on %s\n", name, o.root, listener.Addr())

	select {
	case err := <-ended:
		fail(1, "stopped serving: %v", err)
	case <-stop:
	}
	patience, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if server.Shutdown(patience) != nil {
		server.Close()
	}
	if o.stats {
		fmt.Fprintf(os.Stderr, "connections: %d\nrequests: %d\n", counts.connections.Load(), counts.requests.Load())
	}
}
