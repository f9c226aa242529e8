package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// raw hands payload bytes through gRPC as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return *(v.(*[]byte)), nil }
func (raw) Unmarshal(d []byte, v any) error { *(v.(*[]byte)) = bytes.Clone(d); return nil }
func (raw) Name() string                    { return "proto" }

func grpcSenders(addr, signal string, conns int, timeout time.Duration) ([]sender, error) {
	method := "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	if signal == "logs" {
		method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	}
	var out []sender
	for range conns {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			return nil, err
		}
		out = append(out, func(p []byte) (int64, error) {
			var reply []byte
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			if err := conn.Invoke(ctx, method, &p, &reply); err != nil {
				st, _ := status.FromError(err)
				return 0, fmt.Errorf("%s: %s", st.Code(), st.Message())
			}
			return refusedProto(reply, signal), nil
		})
	}
	return out, nil
}

func httpSenders(addr, signal string, streams int, timeout time.Duration) []sender {
	url, kind := "http://"+addr+"/v1/"+signal, "application/x-protobuf"
	if signal == "ndjson" {
		url, kind = "http://"+addr+"/v1/json", "application/x-ndjson"
	}
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: streams, DisableCompression: true}}
	return []sender{func(p []byte) (int64, error) {
		reply, err := client.Post(url, kind, bytes.NewReader(p))
		if err != nil {
			return 0, err
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			return 0, err
		}
		if reply.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%d: %.80s", reply.StatusCode, body)
		}
		if signal == "ndjson" {
			return refusedJSON(body), nil
		}
		return refusedProto(body, signal), nil
	}}
}

func refusedProto(reply []byte, signal string) int64 {
	if signal == "logs" {
		var r collogs.ExportLogsServiceResponse
		if proto.Unmarshal(reply, &r) == nil {
			return r.GetPartialSuccess().GetRejectedLogRecords()
		}
		return 0
	}
	var r coltrace.ExportTraceServiceResponse
	if proto.Unmarshal(reply, &r) == nil {
		return r.GetPartialSuccess().GetRejectedSpans()
	}
	return 0
}

func refusedJSON(reply []byte) int64 {
	var r struct {
		PartialSuccess struct {
			Rejected json.Number `json:"rejectedLogRecords"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(reply, &r) != nil {
		return 0
	}
	n, _ := r.PartialSuccess.Rejected.Int64()
	return n
}
