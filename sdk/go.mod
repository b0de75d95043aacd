module github.com/mtt-project/mtt/sdk

go 1.26.5

require github.com/mtt-project/mtt/proto v0.0.0

replace github.com/mtt-project/mtt/proto => ../proto
