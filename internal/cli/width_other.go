//go:build !unix

package cli

import "io"

// terminalWidth is 0: without a way to ask, output is written as for a pipe.
func terminalWidth(io.Writer) int { return 0 }
