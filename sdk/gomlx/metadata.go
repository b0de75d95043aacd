package gomlx

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// The metadata of the blob.
const (
	metadataFormat    = "format"    // formatName
	metadataVariables = "variables" // JSON array of a variableInfo for each tensor
	formatName        = "mtt-gomlx/1"
)

// variableInfo is what a tensor does not say about its variable. They are listed in the order in which the variables
// were made, and made again in it: what sums over variables, such as the norm of all gradients, adds in that order.
type variableInfo struct {
	Path      string `json:"path"`
	Trainable bool   `json:"trainable"`
}

func encodeMetadata(variables []*model.Variable) (map[string]string, error) {
	described := make([]variableInfo, len(variables))
	for i, variable := range variables {
		described[i] = variableInfo{variable.Path(), variable.Trainable}
	}
	encoded, err := json.Marshal(described)
	return map[string]string{metadataFormat: formatName, metadataVariables: string(encoded)}, err
}

// decodeMetadata returns the variables in the order in which they were made: one for each tensor.
func decodeMetadata(metadata map[string]string, tensors []safetensors.Tensor) ([]variableInfo, error) {
	if format := metadata[metadataFormat]; format != formatName {
		return nil, fmt.Errorf("the state has format %q, and this build reads %q", format, formatName)
	}
	var described []variableInfo
	if err := json.Unmarshal([]byte(metadata[metadataVariables]), &described); err != nil {
		return nil, fmt.Errorf("the state's list of variables is not valid: %w", err)
	}
	undescribed := make(map[string]bool, len(tensors))
	for _, tensor := range tensors {
		if !strings.HasPrefix(tensor.Name, model.ScopeSeparator) || !isState(tensor.Name) {
			return nil, fmt.Errorf("the state has a tensor %q, which is no variable of a training state", tensor.Name)
		}
		undescribed[tensor.Name] = true
	}
	for _, variable := range described {
		if !undescribed[variable.Path] {
			return nil, fmt.Errorf("the state lists variable %q twice, or without a tensor", variable.Path)
		}
		delete(undescribed, variable.Path)
	}
	for path := range undescribed {
		return nil, fmt.Errorf("the state has a tensor %q, and does not list the variable", path)
	}
	if !slices.ContainsFunc(described, func(v variableInfo) bool { return v.Path == randomPath }) {
		return nil, fmt.Errorf("the state has no %s, the state of the random numbers", randomPath)
	}
	return described, nil
}
