// Command thymus keeps the picture of what runs, what it is made of and what is
// wrong with it. See docs/cli.md for its verbs, and docs/architecture.md for the
// way from here to an answer.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"thymus/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
