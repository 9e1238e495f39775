//go:build !unix

package bench

import (
	"fmt"
	"runtime"
	"time"
)

var began = time.Now()

// cpuTime is wall time where the processor time cannot be asked for.
func cpuTime() time.Duration { return time.Since(began) }

func rss() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}

func machine() string {
	return fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
