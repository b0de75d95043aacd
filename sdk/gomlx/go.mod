module github.com/mtt-project/mtt/sdk/gomlx

go 1.26.5

require github.com/mtt-project/mtt/sdk v0.0.0

replace github.com/mtt-project/mtt/sdk => ..

require github.com/mtt-project/mtt/proto v0.0.0

require (
	github.com/gomlx/compute v0.1.2 // indirect
	github.com/gomlx/go-xla v0.4.1 // indirect
	github.com/gomlx/gomlx v0.28.2 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/exp v0.0.0-20260410095643-746e56fc9e2f // indirect
)

replace github.com/mtt-project/mtt/proto => ../../proto
