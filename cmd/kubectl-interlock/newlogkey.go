package main

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func newNewLogKey(c *cluster) *cobra.Command {
	return &cobra.Command{
		Use:   "new-log-key NAME FILE",
		Short: "Make a key that signs the checkpoints of a decision record",
		Long: `Make a key that signs the checkpoints of a decision record. The private key goes into FILE, which must not exist and which
nobody else can read; the public key is printed, for those who verify the record. NAME becomes the name of the log:
take one that no other log has, such as the name of the cluster.`,
		Example: `  kubectl interlock new-log-key interlock-record.cluster-1.example.com record.key > record.key.pub
  kubectl create secret generic interlock-record-key -n interlock-system --from-file=record.key`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			private, public, err := note.GenerateKey(rand.Reader, args[0])
			if err == nil {
				_, err = note.NewSigner(private)
			}
			if err != nil {
				return fmt.Errorf("%q cannot name a log: %w", args[0], err)
			}
			f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(f, private); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			fmt.Fprintln(c.Out, public)
			return nil
		},
	}
}
