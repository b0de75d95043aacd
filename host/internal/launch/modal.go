package launch

import (
	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
)

// fitsModal refuses, before anything is spent, a plugin that could not start in the image, or not use the device. The spec
// has all that is to be known of the plugin, which need not be on this machine.
func fitsModal(spec *run.Spec) error {
	if spec.Options.Modal == nil {
		return nil
	}
	if err := device.CheckBuilt(spec.Options.Device, spec.Devices); err != nil {
		return err
	}
	_, err := plugin.RunsIn(spec.Plugin.Needs, spec.Plugin.Path, spec.Options.Modal.Image)
	return err
}

// Unsure says what could not be looked at of whether a run's plugin fits what it is to be lived on; "" for nothing.
func Unsure(spec *run.Spec) string {
	if spec.Options.Modal == nil {
		return ""
	}
	unsure, _ := plugin.RunsIn(spec.Plugin.Needs, spec.Plugin.Path, spec.Options.Modal.Image)
	return unsure
}
