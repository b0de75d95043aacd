// Command hello is the smallest experiment that there can be.
package main

import "github.com/mtt-project/mtt/sdk"

// Config is what a user can set.
type Config struct {
	Name string `json:"name"`
}

func main() {
	sdk.Serve(sdk.Experiment[Config]{
		Name:     "hello",
		Summary:  "Says hello.",
		Defaults: Config{Name: "world"},
		Metrics:  map[string]sdk.Direction{"greeting": sdk.Max},
		Train: func(run *sdk.Run, config Config) (sdk.Result, error) {
			return sdk.Result{"greeting": float64(len(config.Name))}, nil
		},
	})
}
