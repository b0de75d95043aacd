module github.com/mtt-project/mtt/sdk

go 1.26.5
