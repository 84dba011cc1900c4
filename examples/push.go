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
	crand "crypto/rand"
	"fmt"
	"log"
	"math/rand"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

// retrying sends a push again until it is answered. All tries have one key, so that it counts once.
type retrying struct {
	client http.Client
}

func (r *retrying) Do(request *http.Request) (*http.Response, error) {
	key := make([]byte, 16)
	if _, err := crand.Read(key); err != nil {
		return nil, err
	}
	request.Header.Set("Idempotency-Key", fmt.Sprintf("%x", key))
	for wait := time.Second; ; wait *= 2 {
		response, err := r.client.Do(request)
		if err == nil && response.StatusCode < 500 || wait > 16*time.Second {
			return response, err
		}
		if err == nil {
			response.Body.Close()
		}
		time.Sleep(wait)
		if request.Body, err = request.GetBody(); err != nil {
			return nil, err
		}
	}
}

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
	client := &retrying{http.Client{Timeout: 10 * time.Second}}
	err := push.New(gateway, "resize_images").Client(client).Collector(images).Collector(seconds).Add()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pushed to", gateway)
}
