module github.com/mtt-project/mtt/sdk/gomlx

go 1.26.5
