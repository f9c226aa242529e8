// Writes two lines with zap: one with a trace, one with an error and its stack trace.
package main

import (
	"errors"

	"go.uber.org/zap"
)

func main() {
	config := zap.NewProductionConfig()
	config.OutputPaths = []string{"stdout"}
	logger, err := config.Build()
	if err != nil {
		panic(err)
	}
	logger.Warn("scored", zap.Int("rows", 3), zap.String("trace_id", "0af7651916cd43dd8448eb211c80319c"),
		zap.String("span_id", "b7ad6b7169203331"))
	logger.Error("failed", zap.Error(errors.New("bad row")))
}
