package main

import (
	"math"
	"strings"
	"testing"
)

func TestConfigurationThatCannotTrainIsRefused(t *testing.T) {
	const images = 1442
	if err := defaults.check(images); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for _, test := range []struct {
		key    string
		change func(*Config)
	}{
		{"steps", func(c *Config) { c.Steps = 0 }},
		{"batch_size", func(c *Config) { c.BatchSize = 0 }},
		{"batch_size", func(c *Config) { c.BatchSize = images + 1 }},
		{"learning_rate", func(c *Config) { c.LearningRate = 0 }},
		{"learning_rate", func(c *Config) { c.LearningRate = math.NaN() }},
		{"hidden", func(c *Config) { c.Hidden = 0 }},
		{"hidden", func(c *Config) { c.Hidden = maxHidden + 1 }},
		{"dropout", func(c *Config) { c.Dropout = -0.1 }},
		{"dropout", func(c *Config) { c.Dropout = 1 }},
	} {
		config := defaults
		test.change(&config)
		if err := config.check(images); err == nil || !strings.HasPrefix(err.Error(), test.key+" is ") {
			t.Errorf("%+v: got %v, want an error about %s", config, err, test.key)
		}
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.BatchSize = images },
		func(c *Config) { c.Dropout = 0 },
	} {
		config := defaults
		change(&config)
		if err := config.check(images); err != nil {
			t.Errorf("%+v is refused: %v", config, err)
		}
	}
}
