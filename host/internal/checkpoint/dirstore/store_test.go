package dirstore_test

import (
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/checkpoint/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, dir string, now func() time.Time) checkpoint.Store {
		return dirstore.New(dir, dirstore.Options{Now: now})
	})
}
