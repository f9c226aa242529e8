package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

type payload struct {
	body          []byte
	items, events int64
	mark          int // where fresh writes; -1 nowhere
	hex           bool
}

// fresh is the payload with a trace id (or request_id, in JSON lines) of its own, so that a receiver that takes
// identical bytes for a resend cannot drop it. Nothing is encoded again.
func (p payload) fresh(k, nonce uint64) []byte {
	if p.mark < 0 {
		return p.body
	}
	c := bytes.Clone(p.body)
	if p.hex {
		copy(c[p.mark:], fmt.Sprintf("%016x", nonce+k))
		return c
	}
	binary.BigEndian.PutUint64(c[p.mark:], nonce)
	binary.BigEndian.PutUint64(c[p.mark+8:], k)
	return c
}

func load(dir, signal, files string, lines int) ([]payload, error) {
	mb, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return nil, err
	}
	var meta struct {
		Payloads int `json:"payloads"`
	}
	if err := json.Unmarshal(mb, &meta); err != nil {
		return nil, err
	}
	var out []payload
	for n := 0; n < meta.Payloads; n++ {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s-%02d", files, n)))
		if err != nil {
			return nil, err
		}
		switch signal {
		case "traces":
			out = append(out, spans(b))
		case "logs":
			out = append(out, logs(b))
		default:
			out = append(out, bodies(b, lines)...)
		}
	}
	return out, nil
}

func spans(b []byte) payload {
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		panic(err)
	}
	p := payload{body: b, mark: -1}
	for _, s := range r.ResourceSpans[0].ScopeSpans[0].Spans {
		p.items++
		p.events += int64(len(s.Events))
	}
	p.mark = bytes.Index(b, r.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId)
	return p
}

func logs(b []byte) payload {
	var r collogs.ExportLogsServiceRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		panic(err)
	}
	p := payload{body: b, mark: -1}
	for _, l := range r.ResourceLogs[0].ScopeLogs[0].LogRecords {
		p.items++
		if p.mark < 0 && len(l.TraceId) == 16 {
			p.mark = bytes.Index(b, l.TraceId)
		}
	}
	return p
}

// bodies cuts a file of JSON lines into bodies of at most n lines.
func bodies(b []byte, n int) []payload {
	key := []byte(`"request_id":"`)
	var out []payload
	for len(b) > 0 {
		end, count := 0, int64(0)
		for int(count) < n && end < len(b) {
			end += bytes.IndexByte(b[end:], '\n') + 1
			count++
		}
		out = append(out, payload{body: b[:end], items: count, mark: bytes.Index(b, key) + len(key), hex: true})
		b = b[end:]
	}
	return out
}
