module github.com/mtt-project/mtt/plugins

go 1.26.5

require github.com/mtt-project/mtt/sdk v0.0.0

replace github.com/mtt-project/mtt/sdk => ../sdk

require github.com/mtt-project/mtt/sdk/gomlx v0.0.0

replace github.com/mtt-project/mtt/sdk/gomlx => ../sdk/gomlx

require github.com/mtt-project/mtt/proto v0.0.0

replace github.com/mtt-project/mtt/proto => ../proto
