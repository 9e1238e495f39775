package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/fault"
)

var answerNow answer.When // both clocks at now

// plain registers what is neither a question nor a document.
func (s *Server) plain() {
	s.mux.HandleFunc("GET "+root+"/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		s.writeSpec(w, r, "application/openapi+json", s.spec.json)
	})
	s.mux.HandleFunc("GET "+root+"/openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		s.writeSpec(w, r, "application/openapi+yaml", s.spec.yaml)
	})
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		s.writeJSON(w, r, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.o.Ready != nil {
			if err := s.o.Ready(); err != nil {
				s.o.Log.WarnContext(r.Context(), "not ready", "error", err)
				s.refuse(w, r, fault.New(fault.Unavailable, "not ready yet"))
				return
			}
		}
		s.writeJSON(w, r, map[string]string{"status": "ready"})
	})
	s.mux.HandleFunc("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		// Errors go to the log; what can be read is still told.
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelError),
	}).ServeHTTP)
}

func (s *Server) writeSpec(w http.ResponseWriter, r *http.Request, mime string, make func() ([]byte, error)) {
	body, err := make()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", mime)
	// A connection that breaks now can be told nothing more.
	_, _ = w.Write(body)
}

// metrics are what Prometheus reads, in a registry of their own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(e backend, version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thymus_http_requests_total", Help: "Requests by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "thymus_http_request_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30}}, []string{"route"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "thymus_info", Help: "The version.", ConstLabels: prometheus.Labels{"version": cmpOr(version, "dev")}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &estateCollector{e: e})
	return m
}

func (m *metrics) observe(route string, status int, d time.Duration) {
	if route == "" {
		route = "none" // addresses that callers make up are no labels
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(d.Seconds())
}

// estateCollector reads the counts of the graph and the ages of the feeds.
type estateCollector struct{ e backend }

var (
	descNodes   = prometheus.NewDesc("thymus_estate", "What the graph holds, by kind.", []string{"kind"}, nil)
	descSeq     = prometheus.NewDesc("thymus_seq", "The newest step of the change feed.", nil, nil)
	descFeedOK  = prometheus.NewDesc("thymus_feed_last_success_seconds", "When the feed was last up to date, since the epoch; 0: never.", []string{"feed"}, nil)
	descFeedNew = prometheus.NewDesc("thymus_feed_newest_record_seconds", "Modification of the newest record, since the epoch.", []string{"feed"}, nil)
	descFeedBad = prometheus.NewDesc("thymus_feed_failing", "1 when the last attempt failed.", []string{"feed"}, nil)
)

// Describe is for prometheus.Collector.
func (c *estateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descNodes, descSeq, descFeedOK, descFeedNew, descFeedBad} {
		out <- d
	}
}

// Collect is for prometheus.Collector.
func (c *estateCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st := c.e.Stats()
	for kind, n := range counts(st) {
		gauge(descNodes, float64(n), kind)
	}
	gauge(descSeq, float64(st.Seq))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	feeds, err := c.e.Feeds(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(descFeedOK, err)
		return
	}
	for _, f := range feeds {
		bad := 0.0
		if f.Error != "" {
			bad = 1
		}
		gauge(descFeedOK, float64(f.OKAt)/1000, f.Feed)
		gauge(descFeedNew, float64(f.Newest)/1000, f.Feed)
		gauge(descFeedBad, bad, f.Feed)
	}
}

func counts(s engine.Stats) map[string]int64 {
	return map[string]int64{
		"services": int64(s.Services), "releases": int64(s.Releases), "packages": int64(s.Packages), "edges": s.Edges,
		"slots": int64(s.Slots), "running": int64(s.Running), "environments": int64(s.Environments), "advisories": int64(s.Advisories),
		"verdicts": int64(s.Verdicts), "applications": int64(s.Applications),
	}
}
