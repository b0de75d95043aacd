package digits

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestSplitIsStratifiedAndWhole(t *testing.T) {
	trainSet, testSet, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if trainSet.Len() != 1442 || testSet.Len() != 355 {
		t.Errorf("%d images to train on and %d to test with, want 1442 and 355", trainSet.Len(), testSet.Len())
	}
	all, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sum(count(trainSet), count(testSet)), count(all); len(got) != len(want) {
		t.Errorf("the two sets have %d different images, want %d", len(got), len(want))
	} else {
		for image, n := range want {
			if got[image] != n {
				t.Fatal("the two sets together are not all images, each once")
			}
		}
	}
	var perDigit, ofAll [classes]int
	for _, label := range testSet.labels {
		perDigit[label]++
	}
	for _, label := range all.labels {
		ofAll[label]++
	}
	for digit, n := range perDigit {
		if n != ofAll[digit]/testShare {
			t.Errorf("%d of %d images of the digit %d are for testing, want a fifth", n, ofAll[digit], digit)
		}
	}
}

// image is one example as a value that can be compared.
type image struct {
	pixels [pixels]float32
	label  int32
}

func count(set *Images) map[image]int {
	counted := make(map[image]int)
	for i, label := range set.labels {
		counted[image{[pixels]float32(set.pixels[i*pixels : (i+1)*pixels]), label}]++
	}
	return counted
}

func sum(a, b map[image]int) map[image]int {
	for image, n := range b {
		a[image] += n
	}
	return a
}

// TestSplitNeverChanges holds the test images to those of the first version: the accuracies of runs could not be
// compared otherwise.
func TestSplitNeverChanges(t *testing.T) {
	_, testSet, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	if err := binary.Write(hash, binary.LittleEndian, testSet.pixels); err != nil {
		t.Fatal(err)
	}
	if err := binary.Write(hash, binary.LittleEndian, testSet.labels); err != nil {
		t.Fatal(err)
	}
	const want = "5faef7a4e6c8c09e18727c9bc56bc03da3551650bd43839c2447dc68303386ad"
	if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want {
		t.Errorf("the test images have the hash %s, and must keep %s", got, want)
	}
}
