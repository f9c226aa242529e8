// lumbersink is a lumberjack server (version 2) on Elastic's own library, go-lumber: it counts events and drops them, or
// appends them to a file, one a line, before it acknowledges them. GET /count gives the figures, as nullsink does.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	lumber "github.com/elastic/go-lumber/server/v2"
)

var docs, batches, wireBytes, rawBytes, connections atomic.Int64

// counting counts what a connection reads.
type counting struct{ net.Conn }

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	wireBytes.Add(int64(n))
	return n, err
}

type countingListener struct{ net.Listener }

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	connections.Add(1)
	return counting{conn}, nil
}

// raw takes an event as the bytes it came in: decoding it would cost more than everything else here.
func raw(event []byte, into interface{}) error {
	rawBytes.Add(int64(len(event)))
	*(into.(*interface{})) = bytes.Clone(event)
	return nil
}

func tlsConfig(cert, key, clientCA string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clientCA != "" {
		pem, err := os.ReadFile(clientCA)
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(pem)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

func main() {
	addr := flag.String("addr", "127.0.0.1:5044", "host:port of the lumberjack server")
	status := flag.String("status", "127.0.0.1:5045", "host:port of the figures")
	keep := flag.String("keep", "", "file to which the events are appended")
	delay := flag.Duration("delay", 0, "wait so long before each acknowledgement")
	keepalive := flag.Duration("keepalive", 3*time.Second, "acknowledge 0 so often while a batch waits")
	cert := flag.String("cert", "", "certificate of the server; TLS where there is one")
	key := flag.String("key", "", "key of the certificate")
	clientCA := flag.String("client-ca", "", "authority of client certificates, which are then required")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	listener = countingListener{listener}
	if *cert != "" {
		listener = tls.NewListener(listener, tlsConfig(*cert, *key, *clientCA))
	}
	server, err := lumber.NewWithListener(listener, lumber.JSONDecoder(raw), lumber.Keepalive(*keepalive))
	if err != nil {
		log.Fatal(err)
	}

	var file *os.File
	if *keep != "" {
		if file, err = os.OpenFile(*keep, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			log.Fatal(err)
		}
	}
	http.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"docs":%d,"requests":%d,"connections":%d,"wire_bytes":%d,"raw_bytes":%d}`+"\n",
			docs.Load(), batches.Load(), connections.Load(), wireBytes.Load(), rawBytes.Load())
	})
	go func() { log.Fatal(http.ListenAndServe(*status, nil)) }()

	for batch := range server.ReceiveChan() {
		if file != nil {
			var lines bytes.Buffer
			for _, event := range batch.Events {
				lines.Write(event.([]byte))
				lines.WriteByte('\n')
			}
			if _, err := file.Write(lines.Bytes()); err != nil {
				log.Fatal(err)
			}
		}
		time.Sleep(*delay)
		batches.Add(1)
		docs.Add(int64(len(batch.Events)))
		batch.ACK()
	}
}
