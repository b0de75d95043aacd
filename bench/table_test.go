package main

import "testing"

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		values      []float64
		share, want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5, 4, 3, 2, 1}, 0.25, 2},
		{[]float64{5, 4, 3, 2, 1}, 1, 5},
	} {
		if got := quantile(test.values, test.share); got != test.want {
			t.Errorf("quantile %g of %v is %g, want %g", test.share, test.values, got, test.want)
		}
	}
}
