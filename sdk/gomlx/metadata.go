package gomlx

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/mtt-project/mtt/sdk/gomlx/safetensors"
)

// The metadata of the blob.
const (
	metadataFormat    = "format"    // formatName
	metadataVariables = "variables" // JSON array of a variableInfo for each tensor
	metadataGraphs    = "graphs"    // severalGraphs, or absent
	metadataParams    = "params"    // JSON array of a paramInfo for each hyperparameter that has changed; absent if none has
	metadataLoss      = "loss"      // of the last step, in the shortest decimal form that is read as the same; absent if not known

	formatName    = "mtt-gomlx/2"
	oldFormatName = "mtt-gomlx/1" // without the learning rate, the trainer's last step, the metrics, and what the steps use
	severalGraphs = "several"     // the training steps do not all use the same variables
)

// variableInfo is what a tensor does not say about its variable. They are listed in the order in which the variables
// were made, and made again in it: what sums over variables, such as the norm of all gradients, adds in that order.
type variableInfo struct {
	Path      string `json:"path"`
	Trainable bool   `json:"trainable"`
	Step      bool   `json:"step,omitempty"` // a training step uses it
}

// metadata is what the blob's metadata says.
type metadata struct {
	variables []variableInfo
	several   bool
	params    params // that have changed
	loss      *float64
	old       bool // of oldFormatName
}

func (m metadata) encode() (map[string]string, error) {
	variables, err := json.Marshal(m.variables)
	encoded := map[string]string{metadataFormat: formatName, metadataVariables: string(variables)}
	if m.several {
		encoded[metadataGraphs] = severalGraphs
	}
	if len(m.params) > 0 {
		if encoded[metadataParams], err = m.params.encode(); err != nil {
			return nil, err
		}
	}
	if m.loss != nil {
		encoded[metadataLoss] = strconv.FormatFloat(*m.loss, 'g', -1, 64)
	}
	return encoded, err
}

func decodeMetadata(encoded map[string]string, tensors []safetensors.Tensor) (m metadata, err error) {
	format := encoded[metadataFormat]
	if format != formatName && format != oldFormatName {
		return m, fmt.Errorf("the state has format %q, and this build reads %q", format, formatName)
	}
	m.old, m.several = format == oldFormatName, encoded[metadataGraphs] == severalGraphs
	if text, ok := encoded[metadataLoss]; ok {
		loss, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return m, fmt.Errorf("the state's loss is not valid: %w", err)
		}
		m.loss = &loss
	}
	if m.params, err = decodeParams(encoded[metadataParams]); err != nil {
		return m, err
	}
	if err := json.Unmarshal([]byte(encoded[metadataVariables]), &m.variables); err != nil {
		return m, fmt.Errorf("the state's list of variables is not valid: %w", err)
	}
	return m, checkVariables(m.variables, tensors)
}

// checkVariables holds that each tensor is that of one variable.
func checkVariables(variables []variableInfo, tensors []safetensors.Tensor) error {
	undescribed := make(map[string]bool, len(tensors))
	for _, tensor := range tensors {
		if !strings.HasPrefix(tensor.Name, model.ScopeSeparator) {
			return fmt.Errorf("the state has a tensor %q, which is no variable", tensor.Name)
		}
		undescribed[tensor.Name] = true
	}
	for _, variable := range variables {
		if !undescribed[variable.Path] {
			return fmt.Errorf("the state lists variable %q twice, or without a tensor", variable.Path)
		}
		delete(undescribed, variable.Path)
	}
	for path := range undescribed {
		return fmt.Errorf("the state has a tensor %q, and does not list the variable", path)
	}
	if !slices.ContainsFunc(variables, func(v variableInfo) bool { return v.Path == randomPath }) {
		return fmt.Errorf("the state has no %s, the state of the random numbers", randomPath)
	}
	return nil
}
