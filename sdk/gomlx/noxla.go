//go:build !cgo || noxla

package gomlx

// xlaOpeners is empty: XLA is a C library, and this build has no cgo.
var xlaOpeners []opener
