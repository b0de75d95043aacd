module github.com/mtt-project/mtt/sdk/gomlx

go 1.26.5

require github.com/mtt-project/mtt/sdk v0.0.0

replace github.com/mtt-project/mtt/sdk => ..

require github.com/mtt-project/mtt/proto v0.0.0

replace github.com/mtt-project/mtt/proto => ../../proto
