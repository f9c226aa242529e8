// Sends the two events of one inference as KServe's logger does (kserve 0.21, pkg/logger/worker.go: sendCloudEvent):
// the same SDK, the same calls in the same order. Usage: kservelogger URL ID REQUEST RESPONSE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func main() {
	url, id := os.Args[1], os.Args[2]
	for n, kind := range []string{"request", "response"} {
		status, err := send(url, id, "org.kubeflow.serving.inference."+kind, []byte(os.Args[3+n]))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(status)
	}
}

func send(url, id, kind string, body []byte) (int, error) {
	transport, err := cloudevents.NewHTTP(cloudevents.WithTarget(url))
	if err != nil {
		return 0, err
	}
	client, err := cloudevents.NewClient(transport, cloudevents.WithTimeNow())
	if err != nil {
		return 0, err
	}
	event := cloudevents.NewEvent(cloudevents.VersionV1)
	event.SetID(id)
	event.SetType(kind)
	event.SetExtension("inferenceservicename", "fraud")
	event.SetExtension("namespace", "bank")
	event.SetExtension("component", "predictor")
	event.SetExtension("endpoint", "default")
	metadata, err := json.Marshal(map[string][]string{"X-Tenant": {"a b"}})
	if err != nil {
		return 0, err
	}
	event.SetExtension("metadata", string(metadata))
	event.SetSource("http://localhost:9081/")
	if err := event.SetData("application/json", body); err != nil {
		return 0, err
	}
	result := client.Send(cloudevents.WithEncodingBinary(context.Background()), event)
	if cloudevents.IsUndelivered(result) {
		return 0, result
	}
	var answer *cehttp.Result
	if !cloudevents.ResultAs(result, &answer) {
		return 0, fmt.Errorf("no HTTP response: %w", result)
	}
	return answer.StatusCode, nil
}
