//go:build !linux

package main

import "errors"

type cpu struct{ own, children float64 }

func readCPU(int) (cpu, error) { return cpu{}, errors.New("the benchmark runs on Linux only") }
