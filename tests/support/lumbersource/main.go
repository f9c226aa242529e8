// lumbersource is a lumberjack client (version 2) on Elastic's own library, go-lumber: it sends events as Filebeat makes
// them, batch after batch, and a batch again until it is acknowledged. It says how many were, one line a batch.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	lumber "github.com/elastic/go-lumber/client/v2"
)

func tlsConfig(ca, cert, key string) *tls.Config {
	pem, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

func event(n int, at time.Time) interface{} {
	return map[string]interface{}{
		"@timestamp": at.UTC().Format("2006-01-02T15:04:05.000Z"),
		"@metadata":  map[string]interface{}{"beat": "filebeat", "type": "_doc", "version": "9.1.0"},
		"message":    fmt.Sprintf("line %d", n),
		"fields":     map[string]interface{}{"n": n},
		"kubernetes": map[string]interface{}{"pod": map[string]interface{}{"name": "scorer-1"}},
		"container":  map[string]interface{}{"id": "c0ffee"},
		"log":        map[string]interface{}{"offset": n * 10, "file": map[string]interface{}{"path": "/var/log/a.log"}},
	}
}

// encode writes members in any order, as Beats do: an event that is sent again is other bytes.
func encode(event interface{}) ([]byte, error) {
	out := []byte{'{'}
	for key, value := range event.(map[string]interface{}) {
		member, err := json.Marshal(map[string]interface{}{key: value})
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, member[1:len(member)-1]...)
	}
	return append(out, '}'), nil
}

func main() {
	address := flag.String("address", "127.0.0.1:5044", "where the server is")
	batches := flag.Int("batches", 1, "number of batches")
	size := flag.Int("size", 100, "events in a batch")
	pause := flag.Duration("pause", 0, "between two batches")
	level := flag.Int("compression", 3, "level of zlib, 0 for none")
	tries := flag.Int("tries", 1000, "most tries of a batch")
	ca := flag.String("ca", "", "PEM file with the server's authority: TLS")
	cert := flag.String("cert", "", "PEM file with the client's certificate")
	key := flag.String("key", "", "PEM file with its key")
	flag.Parse()

	dial := net.Dial
	if *ca != "" {
		config := tlsConfig(*ca, *cert, *key)
		dial = func(network, address string) (net.Conn, error) { return tls.Dial(network, address, config) }
	}
	options := []lumber.Option{
		lumber.CompressionLevel(*level), lumber.Timeout(30 * time.Second), lumber.JSONEncoder(encode),
	}
	var client *lumber.SyncClient
	resent := 0
	for batch := 0; batch < *batches; batch++ {
		events := make([]interface{}, *size)
		now := time.Now()
		for i := range events {
			events[i] = event(batch**size+i, now)
		}
		for try := 1; ; try++ {
			var err error
			if client == nil {
				client, err = lumber.SyncDialWith(dial, *address, options...)
			}
			if err == nil {
				_, err = client.Send(events)
			}
			if err == nil {
				break
			}
			if client != nil {
				client.Close()
				client = nil
			}
			if try >= *tries {
				log.Fatal(err)
			}
			resent++
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Println((batch + 1) * *size)
		time.Sleep(*pause)
	}
	fmt.Fprintf(os.Stderr, "resent %d\n", resent)
}
