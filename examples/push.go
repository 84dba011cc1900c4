// Push from a short Go job with the official client.
//
//	go mod init example && go get github.com/prometheus/client_golang/prometheus/push
//	GATEWAY=http://localhost:9091 go run push.go
//
// Add sends a POST, which adds: every run of this job raises the counter and the histogram that
// all runs share. Push sends a PUT, which replaces everything that the group (here: job
// "resize_images") has pushed so far.
package main

import (
	"fmt"
	"log"
	"math/rand"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

func main() {
	gateway := os.Getenv("GATEWAY")
	if gateway == "" {
		gateway = "http://localhost:9091"
	}

	images := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "images_resized_total",
		Help: "Images resized.",
	}, []string{"format"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "image_resize_seconds",
		Help:    "Time to resize one image.",
		Buckets: []float64{0.1, 0.5, 1, 5},
	})

	// The job counts its own work only, from 0: the gateway keeps the total.
	for i := 0; i < 20; i++ {
		images.WithLabelValues([]string{"jpeg", "png"}[rand.Intn(2)]).Inc()
		seconds.Observe(rand.Float64())
	}

	// Only what is given to Collector is pushed, not the default registry with its figures of
	// this process. The client sends the protobuf format.
	err := push.New(gateway, "resize_images").Collector(images).Collector(seconds).Add()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pushed to", gateway)
}
