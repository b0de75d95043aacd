// Package digits is what training on images of handwritten digits consists of, apart from the loop: the images, the
// networks, and how well they do.
package digits

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/mtt-project/mtt/sdk/gomlx"
)

const (
	side      = 8
	pixels    = side * side
	maxPixel  = 16
	classes   = 10
	splitSeed = 1998 // the split is the same in every run, whatever its seed
	testShare = 5    // one in so many images of each digit is for testing
)

//go:embed digits.csv.gz
var compressed []byte

// Images are examples with their digits.
type Images struct {
	pixels []float32 // pixels[i*64:(i+1)*64], from 0 to 1, shows labels[i]
	labels []int32
}

// Len is the number of images.
func (d *Images) Len() int { return len(d.labels) }

func (d *Images) add(pixels []float32, label int32) {
	d.pixels = append(d.pixels, pixels...)
	d.labels = append(d.labels, label)
}

// At gathers some of the images.
func (d *Images) At(indices []int) *Images {
	gathered := &Images{make([]float32, 0, len(indices)*pixels), make([]int32, 0, len(indices))}
	for _, i := range indices {
		gathered.add(d.pixels[i*pixels:(i+1)*pixels], d.labels[i])
	}
	return gathered
}

// tensors returns pixels shaped [n, 64] and labels shaped [n, 1].
func (d *Images) tensors() (x, y *tensors.Tensor) {
	return tensors.FromFlatDataAndDimensions(d.pixels, d.Len(), pixels),
		tensors.FromFlatDataAndDimensions(d.labels, d.Len(), 1)
}

// Batch is all of the images, as one batch: the input is pixels shaped [n, 64], the label digits shaped [n, 1].
func (d *Images) Batch() train.Batch {
	x, y := d.tensors()
	return train.Batch{Inputs: []*tensors.Tensor{x}, Labels: []*tensors.Tensor{y}}
}

// Load reads the embedded images and splits them: of each digit's, shuffled, the first fifth is for testing.
func Load() (train, test *Images, err error) {
	all, err := read()
	if err != nil {
		return nil, nil, fmt.Errorf("the embedded images are damaged: %w", err)
	}
	byDigit := make([][]int, classes)
	for i, label := range all.labels {
		byDigit[label] = append(byDigit[label], i)
	}
	var trainIndices, testIndices []int
	for _, indices := range byDigit {
		order := gomlx.Order{Seed: splitSeed, Size: len(indices), Batch: len(indices)}
		for n, i := range order.At(1) {
			if n < len(indices)/testShare {
				testIndices = append(testIndices, indices[i])
			} else {
				trainIndices = append(trainIndices, indices[i])
			}
		}
	}
	return all.At(trainIndices), all.At(testIndices), nil
}

func read() (*Images, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	rows := csv.NewReader(unpacked)
	rows.FieldsPerRecord = pixels + 1
	records, err := rows.ReadAll()
	if err != nil {
		return nil, err
	}
	all := new(Images)
	row := make([]float32, pixels)
	for line, record := range records {
		for i := range row {
			value, err := strconv.ParseFloat(record[i], 32)
			if err != nil || value < 0 || value > maxPixel {
				return nil, fmt.Errorf("line %d: pixel %q", line+1, record[i])
			}
			row[i] = float32(value) / maxPixel
		}
		label, err := strconv.ParseFloat(record[pixels], 32)
		if err != nil || label != float64(int32(label)) || label < 0 || label >= classes {
			return nil, fmt.Errorf("line %d: digit %q", line+1, record[pixels])
		}
		all.add(row, int32(label))
	}
	return all, nil
}
