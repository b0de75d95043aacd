module github.com/mtt-project/mtt/plugins

go 1.26.5
