// Prints a file with the same groups in other types than those of the stock gateway: fields in
// another order and fields of all kinds that it does not have, keys that are no strings as before
// version 0.10, and a time in the second form. other-types.gob was made with it.
package main

import (
	"encoding/gob"
	"log"
	"os"
	"time"
)

type message []byte

func (m message) GobEncode() ([]byte, error) { return m, nil }
func (m *message) GobDecode([]byte) error    { return nil }

type tree struct {
	Name     string
	Children []*tree
}

type family struct {
	GobbableMetricFamily message
	Weight               complex128
	Nothing              []interface{}
	Flags                map[string][]bool
	Timestamp            time.Time
	Numbers              [3]int16
	Share                float64
}

type group struct {
	Notes   []string
	Metrics map[string]family
	Tree    *tree
	Labels  map[string]string
	Serial  uint64
}

func main() {
	zone := time.FixedZone("", 53*60+28)
	groups := map[uint64]group{
		14695981039346656037: {
			Notes: []string{"one", ""},
			Metrics: map[string]family{
				"b": {
					GobbableMetricFamily: message("\x0a\x01b"),
					Weight:               1 - 2i,
					Nothing:              []interface{}{nil, nil},
					Flags:                map[string][]bool{"": {true, false}, "x": {}},
					Timestamp:            time.Unix(1700000000, 5).In(zone),
					Numbers:              [3]int16{-300, 0, 300},
					Share:                0.25,
				},
				"a": {},
			},
			Tree:   &tree{Name: "root", Children: []*tree{{Name: "leaf"}, {Children: []*tree{{}}}}},
			Labels: map[string]string{"job": "j", "instance": ""},
			Serial: 1 << 40,
		},
	}
	if err := gob.NewEncoder(os.Stdout).Encode(groups); err != nil {
		log.Fatal(err)
	}
}
