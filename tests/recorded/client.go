package main

import (
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	"github.com/prometheus/common/expfmt"
)

func registry(run float64) *prometheus.Registry {
	r := prometheus.NewRegistry()
	jobs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jobs_total", Help: "Jobs \"done\"."}, []string{"kind"})
	temp := prometheus.NewGauge(prometheus.GaugeOpts{Name: "temperature_celsius"})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "wait_seconds", Buckets: []float64{0.5, 2}})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "size_bytes", NativeHistogramBucketFactor: 1.1, NativeHistogramMaxExemplars: 3, NativeHistogramExemplarTTL: time.Nanosecond})
	both := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "both_seconds", Buckets: []float64{1}, NativeHistogramBucketFactor: 2})
	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "lag_seconds", Objectives: map[float64]float64{0.5: 0.05}})
	r.MustRegister(jobs, temp, classic, native, both, summary)
	jobs.WithLabelValues("a").(prometheus.ExemplarAdder).AddWithExemplar(run, prometheus.Labels{"trace_id": "t1"})
	jobs.WithLabelValues("b").Inc()
	temp.Set(-3.5)
	for _, v := range []float64{0.25, 1, 3} {
		classic.(prometheus.ExemplarObserver).ObserveWithExemplar(v*run, prometheus.Labels{"trace_id": "t2"})
		native.(prometheus.ExemplarObserver).ObserveWithExemplar(v*run, prometheus.Labels{"trace_id": "t3"})
		both.Observe(v * run)
		summary.Observe(v * run)
	}
	return r
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	url := os.Args[1]
	check(push.New(url, "nightly").Grouping("path", "a/b").Grouping("empty", "").Gatherer(registry(1)).Add())
	check(push.New(url, "nightly").Grouping("path", "a/b").Grouping("empty", "").Gatherer(registry(2)).Add())
	check(push.New(url, "replaced").Gatherer(registry(4)).Push())
	check(push.New(url, "text").Gatherer(registry(1)).Format(expfmt.NewFormat(expfmt.TypeTextPlain)).Add())
	check(push.New(url, "openmetrics").Gatherer(registry(1)).Format(expfmt.NewFormat(expfmt.TypeOpenMetrics)).Add())
	check(push.New(url, "replaced").Delete())
}
