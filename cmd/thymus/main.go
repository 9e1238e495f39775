// Command thymus keeps the picture of what runs, what it is made of and what is
// wrong with it. See docs/cli.md for its verbs, and docs/architecture.md for the
// way from here to an answer.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"thymus/internal/cli"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// Most of the heap is the graph, which lives long: memory counts for more
		// than the collector's time.
		debug.SetGCPercent(50)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
