// One short job with the official Go client, which pushes protobuf, for tests/clients/mod.rs.
//
// Usage: push add|replace|delete URL JOB GROUPINGS-AS-JSON AMOUNT
package main

import (
	"encoding/json"
	"log"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

func main() {
	mode, url, job := os.Args[1], os.Args[2], os.Args[3]
	var groupings map[string]string
	if err := json.Unmarshal([]byte(os.Args[4]), &groupings); err != nil {
		log.Fatal(err)
	}
	amount, err := strconv.Atoi(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}

	tasks := prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "tasks_total", Help: "Tasks \"done\" \\ failed."}, []string{"result"})
	lastAmount := prometheus.NewGauge(
		prometheus.GaugeOpts{Name: "last_amount", Help: "Amount of the latest run."})
	seconds := prometheus.NewHistogram(
		prometheus.HistogramOpts{Name: "task_seconds", Help: "Time per task.", Buckets: []float64{0.25, 1}})
	size := prometheus.NewSummary(
		prometheus.SummaryOpts{Name: "task_bytes", Help: "Size of a run."})

	tasks.WithLabelValues("ok").Add(float64(amount))
	tasks.WithLabelValues("failed").Inc()
	lastAmount.Set(float64(amount))
	for task := 0; task < amount; task++ {
		seconds.Observe(0.125)
	}
	seconds.Observe(0.5)
	seconds.Observe(2)
	size.Observe(float64(100 * amount))

	pusher := push.New(url, job).Collector(tasks).Collector(lastAmount).Collector(seconds).Collector(size)
	for name, value := range groupings {
		pusher = pusher.Grouping(name, value)
	}
	send, known := map[string]func() error{
		"add": pusher.Add, "replace": pusher.Push, "delete": pusher.Delete,
	}[mode]
	if !known {
		log.Fatalf("unknown mode %q", mode)
	}
	if err := send(); err != nil {
		log.Fatal(err)
	}
}
